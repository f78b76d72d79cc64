import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { StopStrings } from '../../../src/api/infer/stop-strings.js'

/** What is given out piece by piece, and whether a stop string ended it. */
function feed (stops: string[], pieces: string[]): { given: string[], stopped: boolean } {
  const matcher = new StopStrings(stops)
  const given: string[] = []
  for (const piece of pieces) {
    const { text, stopped } = matcher.push(piece)
    given.push(text)
    if (stopped) return { given, stopped }
  }
  given.push(matcher.flush())
  return { given, stopped: false }
}

suite('StopStrings', () => {
  test('finds a stop string split over pieces and gives nothing of it out', () => {
    assert.deepEqual(feed(['</s>'], ['hello <', '/', 's', '> more']), { given: ['hello ', '', '', ''], stopped: true })
  })

  test('gives back what only looked like one', () => {
    assert.deepEqual(feed(['</s>'], ['a<', '/', 'b']), { given: ['a', '', '</b', ''], stopped: false })
    assert.deepEqual(feed(['</s>'], ['a<', '/']), { given: ['a', '', '</'], stopped: false })
  })

  test('takes the one that is complete first, however the text is cut', () => {
    const text = 'xabc'
    for (let cut = 0; cut <= text.length; cut++) {
      const { given, stopped } = feed(['abc', 'b'], [text.slice(0, cut), text.slice(cut)])
      assert.deepEqual([given.join(''), stopped], ['xa', true])
    }
  })

  test('holds overlapping starts back', () => {
    assert.deepEqual(feed(['aab'], ['aa', 'a', 'b']), { given: ['', 'a', ''], stopped: true })
  })

  test('lets everything through without stop strings', () => {
    assert.deepEqual(feed([], ['a', 'b']), { given: ['a', 'b', ''], stopped: false })
  })
})
