import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Lets a server stop as soon as its last answer is sent. Node waits for connections that carry no request: those kept
 * alive behind an answer that was under way, and those a client opened ahead of use.
 */
export class OpenConnections {
  /** Requests under way on each. */
  readonly #connections = new Map<Socket, number>()
  #closing = false

  constructor (server: Server) {
    server.on('connection', (socket: Socket) => {
      if (this.#closing) return socket.destroy()
      this.#connections.set(socket, 0)
      socket.once('close', () => this.#connections.delete(socket))
    })
    server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      this.#count(socket, 1)
      response.once('close', () => {
        if (this.#count(socket, -1) === 0 && this.#closing) socket.end()
      })
    })
  }

  /** From now on a connection ends with its last answer. */
  close (): void {
    this.#closing = true
    for (const [socket, requests] of this.#connections) if (requests === 0) socket.destroy()
  }

  #count (socket: Socket, change: 1 | -1): number {
    const requests = this.#connections.get(socket)
    // A connection that broke is gone from the list before its request is.
    if (requests === undefined) return 0
    this.#connections.set(socket, requests + change)
    return requests + change
  }
}
