/** A graph as an ONNX file. Field numbers are those of `onnx.proto` (ModelProto, GraphProto, NodeProto, ...). */
import type { DType, Graph, Initializer, Node, Value } from './ir.js'
import { ATTRIBUTE_KINDS, type AttributeKind, MICROSOFT_OPS, type ScalarTensor } from './operators.js'
import { ProtobufMessage } from './protobuf.js'

const IR_VERSION = 10
const OPSET = 21
const MICROSOFT_OPSET = 1

const DTYPE_CODES: Readonly<Record<DType, number>> = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9 }
const ATTRIBUTE_CODES = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, ints: 7 } as const
const EXTERNAL = 1

function scalarBytes ({ dtype, value }: ScalarTensor): Uint8Array {
  switch (dtype) {
    case 'float32': return new Uint8Array(Float32Array.of(value).buffer)
    case 'int64': return new Uint8Array(BigInt64Array.of(BigInt(value)).buffer)
    case 'int32': return new Uint8Array(Int32Array.of(value).buffer)
    case 'int8': return new Uint8Array(Int8Array.of(value).buffer)
    case 'uint8': case 'bool': return Uint8Array.of(value)
  }
}

function attributeProto (name: string, kind: AttributeKind, value: unknown): ProtobufMessage {
  const proto = new ProtobufMessage().text(1, name)
  switch (kind) {
    case 'float': return proto.float(2, value as number).int(20, ATTRIBUTE_CODES.float)
    case 'int': return proto.int(3, value as number).int(20, ATTRIBUTE_CODES.int)
    case 'dtype': return proto.int(3, DTYPE_CODES[value as DType]).int(20, ATTRIBUTE_CODES.int)
    case 'string': return proto.text(4, value as string).int(20, ATTRIBUTE_CODES.string)
    case 'graph': return proto.message(6, graphProto(value as Graph)).int(20, ATTRIBUTE_CODES.graph)
    case 'scalar': {
      const tensor = value as ScalarTensor
      return proto.message(5, new ProtobufMessage().int(1, 1).int(2, DTYPE_CODES[tensor.dtype]).bytes(9, scalarBytes(tensor))).int(20, ATTRIBUTE_CODES.tensor)
    }
    case 'ints':
      for (const item of value as readonly number[]) proto.int(8, item)
      return proto.int(20, ATTRIBUTE_CODES.ints)
  }
}

function nodeProto (node: Node): ProtobufMessage {
  const proto = new ProtobufMessage()
  for (const input of node.inputs) proto.text(1, input?.name ?? '')
  for (const output of node.outputs) proto.text(2, output?.name ?? '')
  proto.text(3, node.outputs.find(output => output !== null)?.name ?? '').text(4, node.op)
  const kinds = ATTRIBUTE_KINDS[node.op] as Readonly<Record<string, AttributeKind>>
  for (const [name, value] of Object.entries(node.attrs)) proto.message(5, attributeProto(name, kinds[name]!, value))
  return MICROSOFT_OPS.has(node.op) ? proto.text(7, 'com.microsoft') : proto
}

function tensorProto ({ value, data }: Initializer): ProtobufMessage {
  const proto = new ProtobufMessage()
  for (const dim of value.shape) proto.int(1, dim as number)
  proto.int(2, DTYPE_CODES[value.dtype]).text(8, value.name)
  if (data instanceof Uint8Array) return proto.bytes(9, data)
  const entries = { location: data.file, offset: String(data.offset), length: String(data.bytes) }
  for (const [key, text] of Object.entries(entries)) proto.message(13, new ProtobufMessage().text(1, key).text(2, text))
  return proto.int(14, EXTERNAL)
}

function valueProto ({ name, dtype, shape }: Value): ProtobufMessage {
  const dims = new ProtobufMessage()
  for (const dim of shape) dims.message(1, typeof dim === 'number' ? new ProtobufMessage().int(1, dim) : new ProtobufMessage().text(2, dim))
  const tensor = new ProtobufMessage().int(1, DTYPE_CODES[dtype]).message(2, dims)
  return new ProtobufMessage().text(1, name).message(2, new ProtobufMessage().message(1, tensor))
}

function graphProto (graph: Graph): ProtobufMessage {
  const proto = new ProtobufMessage()
  for (const node of graph.nodes) proto.message(1, nodeProto(node))
  proto.text(2, graph.name)
  for (const initializer of graph.initializers) proto.message(5, tensorProto(initializer))
  for (const input of graph.inputs) proto.message(11, valueProto(input))
  for (const output of graph.outputs) proto.message(12, valueProto(output))
  return proto
}

const opsetProto = (domain: string, version: number): ProtobufMessage => new ProtobufMessage().text(1, domain).int(2, version)

/** ModelProto bytes: opset 21 + com.microsoft 1, IR version 10. External tensors are named relative to the graph's folder. */
export function onnxBytes (graph: Graph): Uint8Array {
  return new ProtobufMessage()
    .int(1, IR_VERSION)
    .text(2, 'permafrost')
    .message(7, graphProto(graph))
    .message(8, opsetProto('', OPSET))
    .message(8, opsetProto('com.microsoft', MICROSOFT_OPSET))
    .finish()
}
