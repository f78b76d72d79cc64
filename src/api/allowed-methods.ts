/** Which methods a path answers, so that a known path with a wrong method is a 405 with `Allow` and not a 404. */
export class AllowedMethods {
  readonly #routes: Array<{ readonly segments: readonly string[], readonly methods: Set<string> }> = []

  /** @param pattern as given to the router: `/v1/tasks/:task` */
  add (pattern: string, methods: readonly string[]): void {
    const segments = pattern.split('/')
    const known = this.#routes.find(route => route.segments.join('/') === pattern)
    if (known === undefined) this.#routes.push({ segments, methods: new Set(methods) })
    else for (const method of methods) known.methods.add(method)
  }

  /** Sorted; empty when no route has this path. */
  of (url: string): string[] {
    const path = url.split('?', 1)[0] ?? ''
    const parts = path.split('/')
    const methods = new Set<string>()
    for (const route of this.#routes) {
      if (route.segments.length !== parts.length) continue
      if (!route.segments.every((segment, index) => segment.startsWith(':') ? parts[index] !== '' : segment === parts[index])) continue
      for (const method of route.methods) methods.add(method)
    }
    return [...methods].sort()
  }
}
