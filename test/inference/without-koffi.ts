/** For `node --import`: a machine without a build of koffi. */
import { register } from 'node:module'

const hooks = `export async function resolve (specifier, context, next) {
  if (specifier === 'koffi') throw new Error('no build of koffi for this machine')
  return next(specifier, context)
}`
register(`data:text/javascript,${encodeURIComponent(hooks)}`)
