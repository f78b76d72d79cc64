import { ServiceError } from '../errors.js'
import type { Application } from './application.js'

/**
 * The longest list that a route takes (labels). Every wrong member is a complaint of its own, and a few megabytes hold a
 * million: they are counted before they are checked.
 */
const MAX_MEMBERS = 1000
/** No schema looks deeper. */
const MAX_DEPTH = 4

/**
 * JSON and nothing else, unless a route brings a parser of its own. A route that takes no body accepts an empty one
 * (many clients always send the header) and refuses fields like any unknown parameter.
 */
export function acceptJson (app: Application): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (request.routeOptions.schema?.body !== undefined) {
      return parse(request, text as string, (error, body: unknown) => done(error ?? tooManyMembers(body), body))
    }
    if (text === '') return done(null, undefined)
    parse(request, text as string, (error, body: unknown) => {
      if (error !== null) return done(error)
      const [param] = Object.keys(body ?? {})
      if (param === undefined) return done(null, undefined)
      done(new ServiceError('unknown_parameter', `${param} is not a parameter here: this route takes no body`, { param }))
    })
  })
}

/** What to answer when the body, or something in it, has more members than any route takes; null when nothing has. */
function tooManyMembers (value: unknown, path = '', depth = 0): ServiceError | null {
  if (value === null || typeof value !== 'object') return null
  const members = Array.isArray(value) ? value : Object.keys(value)
  if (members.length > MAX_MEMBERS) {
    return new ServiceError('invalid_request', `${path === '' ? 'the body' : path} has ${members.length} members, limit ${MAX_MEMBERS}`, { param: path === '' ? 'body' : path })
  }
  if (depth === MAX_DEPTH) return null
  for (const [name, member] of Object.entries(value)) {
    const refused = typeof member === 'object' ? tooManyMembers(member, path === '' ? name : `${path}/${name}`, depth + 1) : null
    if (refused !== null) return refused
  }
  return null
}
