import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { GraphBuilder } from '../../src/graph/builder.js'
import { broadcast, product, quotient } from '../../src/graph/dims.js'
import type { Graph } from '../../src/graph/ir.js'
import { onnxBytes } from '../../src/graph/onnx.js'
import { print } from '../../src/graph/print.js'
import { verify } from '../../src/graph/verify.js'
import { evaluate, float32, int64 } from '../support/ort.js'

const deepMessage = (pattern: RegExp) => (error: unknown): boolean => {
  const { message, cause } = error as Error
  return pattern.test(message) || (cause instanceof Error && pattern.test(cause.message))
}

suite('symbolic dimensions', () => {
  test('products and quotients are canonical', () => {
    assert.equal(product(2, 'T', 3), '6*T')
    assert.equal(product('S', 'B'), 'B*S')
    assert.equal(product(2, 3), 6)
    assert.equal(product(1, 'T'), 'T')
    assert.equal(quotient('6*T', 3), '2*T')
    assert.equal(quotient('B*S', 'S'), 'B')
    assert.equal(quotient('6*T', '2*T'), 3)
    assert.equal(quotient('T', 2), null)
    assert.equal(quotient('T', 'S'), null)
  })

  test('broadcasting stretches ones and keeps symbols', () => {
    assert.deepEqual(broadcast(['B', 1, 3], ['T', 3]), ['B', 'T', 3])
    assert.equal(broadcast(['B', 3], ['T', 3]), null)
    assert.equal(broadcast([2], [3]), null)
  })
})

suite('GraphBuilder', () => {
  test('derives shapes, keeps a constant once and drops what no output needs', () => {
    const b = new GraphBuilder('example')
    const x = b.input('x', 'float32', ['T', 6])
    const heads = b.splitRows(x, 3)
    const doubled = b.mul(b.add(heads, b.scalar(2)), b.scalar(2))
    b.add(heads, b.scalar(7))
    b.output(b.reshape(doubled, ['T', 6]), 'y')
    assert.equal(print(b.finish()), [
      'example(x: float32[T,6])',
      '  const_0: int64[2] = -1 3',
      '  const_2: float32[] = 2',
      '  const_7: int64[2] = -1 6',
      '  Reshape_1: float32[2*T,3] = Reshape(x, const_0)',
      '  Add_3: float32[2*T,3] = Add(Reshape_1, const_2)',
      '  Mul_4: float32[2*T,3] = Mul(Add_3, const_2)',
      '  Reshape_8: float32[T,6] = Reshape(Mul_4, const_7)',
      '  y: float32[T,6] = Identity(Reshape_8)',
      '  return y'
    ].join('\n'))
  })

  test('leaves out optional outputs nobody reads', () => {
    const b = new GraphBuilder('norm')
    const x = b.input('x', 'float32', ['T', 2])
    const [normed, , , sum] = b.node('SkipSimplifiedLayerNormalization', [x, x, b.constant('float32', [2], Float32Array.of(1, 1))], { epsilon: 1e-5 })
    b.output(normed, 'normed')
    const first = b.finish()
    assert.equal(first.nodes[0]!.outputs.length, 1)
    b.output(sum, 'sum')
    assert.deepEqual(b.finish().nodes[0]!.outputs.map(output => output === null), [false, true, true, false])
  })

  test('says which operator was given what does not fit', () => {
    const b = new GraphBuilder('wrong')
    const x = b.input('x', 'float32', ['T', 6])
    const w = b.input('w', 'float32', [3, 5])
    assert.throws(() => b.op('Gemm', [x, w], { transB: 1 }), deepMessage(/inner dimensions: 6 and 5/))
    assert.throws(() => b.add(x, w), deepMessage(/float32\[T,6\] and float32\[3,5\] do not broadcast/))
    assert.throws(() => b.reshape(x, ['T', 7]), deepMessage(/elements of float32\[T,6\]/))
    assert.throws(() => b.op('Concat', [x, x], { axis: 0 }), /dimension 0 of Concat needs a name/)
    assert.throws(() => b.add(x, b.input('i', 'int64', ['T', 6])), deepMessage(/float32\[T,6\] with int64/))
  })
})

const wellFormed = (): Graph => {
  const b = new GraphBuilder('good')
  const x = b.input('x', 'float32', ['T', 2])
  b.output(b.mul(b.add(x, x), x), 'y')
  return b.finish()
}

suite('verify()', () => {
  test('accepts what the builder makes', () => verify(wellFormed()))

  test('finds unknown names, names defined twice and shapes that are not so', () => {
    const { nodes, ...rest } = wellFormed()
    assert.throws(() => verify({ ...rest, nodes: [...nodes].reverse() }), /reads \w+, which nothing before it defines/)
    assert.throws(() => verify({ ...rest, nodes: [nodes[0]!, ...nodes] }), /defines Add_0 twice/)
    const wrong = { ...nodes[0]!, outputs: [{ ...nodes[0]!.outputs[0]!, shape: ['T', 3] }] }
    assert.throws(() => verify({ ...rest, nodes: [wrong, ...nodes.slice(1)] }), /declares float32\[T,3\], its rule says float32\[T,2\]/)
    assert.throws(() => verify({ ...rest, nodes, outputs: [{ name: 'z', dtype: 'float32', shape: [] }] }), /output of good reads z/)
  })
})

suite('onnxBytes()', () => {
  test('runs: attributes of every kind, constants, negative integers, a Scan that sees the outer graph', async () => {
    const b = new GraphBuilder('kinds')
    const x = b.input('x', 'float32', ['N', 2])
    const labels = b.input('labels', 'int64', ['N'])
    const weight = b.constant('float32', [2, 2], Float32Array.of(1, 2, 3, 4))
    const body = b.body('body')
    const row = body.input('row', 'float32', [2])
    body.output(body.squeeze(body.op('Gemm', [body.unsqueeze(row, 0), weight], { transB: 1 }), 0))
    const [products] = b.node('Scan', [x], { body: body.finish(), num_scan_inputs: 1 })
    b.output(products!, 'products')
    b.output(b.transpose(b.op('FusedMatMul', [x, weight], { transA: 0, transB: 0, alpha: 2 }), 1, 0), 'fused')
    b.output(b.op('Cast', [labels], { to: 'float32' }), 'cast')
    b.output(b.op('ScatterND', [b.zerosLike(x), b.unsqueeze(labels, -1), x], { reduction: 'add' }), 'scattered')
    b.output(b.op('Slice', [x, b.integers(-1), b.integers(Number.MAX_SAFE_INTEGER), b.integers(0)], {}, { shape: ['last', 2] }), 'last')
    const outputs = await evaluate(onnxBytes(b.finish()), '.', { x: float32([1, 0, 0, 1, 1, 1], 3, 2), labels: int64([2, 0, 2], 3) })
    assert.deepEqual(Array.from(outputs['products']!), [1, 3, 2, 4, 3, 7])
    assert.deepEqual(Array.from(outputs['fused']!), [2, 6, 8, 4, 8, 12])
    assert.deepEqual(Array.from(outputs['cast']!), [2, 0, 2])
    assert.deepEqual(Array.from(outputs['scattered']!), [0, 1, 0, 0, 2, 1])
    assert.deepEqual(Array.from(outputs['last']!), [1, 1])
  })
})
