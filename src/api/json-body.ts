import { ServiceError } from '../errors.js'
import type { Application } from './application.js'

/**
 * JSON and nothing else, unless a route brings a parser of its own. A route that takes no body accepts an empty one
 * (many clients always send the header) and refuses fields like any unknown parameter.
 */
export function acceptJson (app: Application): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (request.routeOptions.schema?.body !== undefined) return parse(request, text as string, done)
    if (text === '') return done(null, undefined)
    parse(request, text as string, (error, body: unknown) => {
      if (error !== null) return done(error)
      const [param] = Object.keys(body ?? {})
      if (param === undefined) return done(null, undefined)
      done(new ServiceError('unknown_parameter', `${param} is not a parameter here: this route takes no body`, { param }))
    })
  })
}
