/** Ajv's list of complaints as the one sentence a caller can act on. */
import type { FastifySchemaValidationError } from 'fastify/types/schema.js'
import { ServiceError } from '../errors.js'

type Problem = FastifySchemaValidationError

/**
 * @param context where the value came from: `body`, `querystring`, `params`, `headers`
 * @returns `unknown_parameter` for a field no schema has, else `invalid_request`; `param` is the path without the leading slash
 */
export function describeValidation (problems: readonly Problem[], context: string): ServiceError {
  const problem = mostTelling(problems)
  const path = problem.instancePath.slice(1)
  const inside = (name: string): string => path === '' ? name : `${path}/${name}`
  const params = problem.params
  switch (problem.keyword) {
    case 'additionalProperties': {
      const param = inside(String(params.additionalProperty))
      return new ServiceError('unknown_parameter', `${param} is not a parameter here`, { param })
    }
    case 'required': {
      const param = inside(String(params.missingProperty))
      return new ServiceError('invalid_request', `${param} is missing`, { param })
    }
    case 'const': {
      const allowed = problems.filter(other => other.keyword === 'const' && other.instancePath === problem.instancePath)
        .map(other => JSON.stringify(other.params.allowedValue))
      return new ServiceError('invalid_request', `${path} must be ${[...new Set(allowed)].join(' or ')}`, { param: path })
    }
    case 'type': {
      const types = problems.filter(other => other.keyword === 'type' && other.instancePath === problem.instancePath)
        .map(other => String(other.params.type))
      return new ServiceError('invalid_request', `${path === '' ? `the ${context}` : path} must be ${[...new Set(types)].join(' or ')}`, { param: path === '' ? context : path })
    }
    default:
      return new ServiceError('invalid_request', `${path === '' ? `the ${context}` : path} ${problem.message ?? 'is not valid'}`, { param: path === '' ? context : path })
  }
}

/** A problem outside every union is certain. Inside a union, believe the branch that was meant: the one that fits best. */
function mostTelling (problems: readonly Problem[]): Problem {
  const certain = problems.filter(problem => problem.keyword !== 'anyOf' && !problem.schemaPath.includes('/anyOf/'))
  if (certain.length > 0) return misspeltFirst(certain)
  const branches = new Map<string, Problem[]>()
  for (const problem of problems) {
    const branch = /^.*\/anyOf\/\d+\//.exec(problem.schemaPath)?.[0]
    if (branch === undefined) continue
    const known = branches.get(branch)
    if (known === undefined) branches.set(branch, [problem])
    else known.push(problem)
  }
  const [best] = [...branches.values()].sort((a, b) => notMeant(a) - notMeant(b) || a.length - b.length || depth(b) - depth(a))
  return misspeltFirst(best ?? problems)
}

/** A misspelt field is at once unknown and missing; the name that was written helps more. */
function misspeltFirst (problems: readonly Problem[]): Problem {
  return problems.find(problem => problem.keyword === 'additionalProperties') ?? problems[0] ??
    { instancePath: '', schemaPath: '', keyword: 'unknown', params: {}, message: 'is not valid' }
}

/** Deeper inside, more of the outer shape was right. */
function depth ([problem]: readonly Problem[]): number {
  return problem?.instancePath.split('/').length ?? 0
}

/** A constant or type that does not fit says that the branch was not meant at all. */
function notMeant (problems: readonly Problem[]): number {
  return problems.every(problem => problem.keyword === 'const' || problem.keyword === 'type') ? 1 : 0
}
