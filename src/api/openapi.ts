import type { SwaggerOptions } from '@fastify/swagger'
import { VERSION } from '../project.js'

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
    const scopes = route.config?.scopes
    if (scopes === undefined) return { schema, url }
    const needed = `Needs a key with the scope ${scopes.join(' or ')}.`
    return { url, schema: { ...schema, security: [{ key: [] }], description: schema.description === undefined ? needed : `${schema.description}\n\n${needed}` } }
  }
}
