import type { SwaggerOptions } from '@fastify/swagger'
import type { TSchema } from '@sinclair/typebox'
import { VERSION } from '../project.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Content by type of a body that a handler reads and checks itself; only for the document. */
    documentedBody?: Readonly<Record<string, { readonly schema: TSchema }>>
  }
}

/** The document is made from the schemas that check the requests, so it cannot say something else. */
export const OPENAPI: SwaggerOptions = {
  openapi: {
    openapi: '3.1.0',
    info: {
      title: 'Permafrost',
      version: VERSION,
      description: 'One frozen language model, thousands of tasks: train, publish and serve soft prompts.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }
    },
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer', description: 'an API key: pf_...' } } },
    tags: ['inference', 'tasks', 'files', 'training', 'versions', 'aliases', 'bases', 'keys', 'service'].map(name => ({ name }))
  },
  transform: ({ schema, url, route }) => {
    const { scopes, documentedBody } = route.config ?? {}
    if (scopes === undefined) return { schema, url }
    const needed = `Needs a key with the scope ${scopes.join(' or ')}.`
    return {
      url,
      schema: {
        ...schema,
        ...(documentedBody === undefined ? {} : { body: { content: documentedBody } }),
        security: [{ key: [] }],
        description: schema.description === undefined ? needed : `${schema.description}\n\n${needed}`
      }
    }
  }
}
