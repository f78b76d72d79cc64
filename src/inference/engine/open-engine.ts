import { StockEngine } from './stock.js'
import type { Engine, EngineOptions } from './engine.js'

/**
 * The C API where it loads, else the stock binding; `onFallback` hears why. A graph that does not load at all is the
 * caller's error, not a reason to fall back.
 * @throws Error when neither engine can load the graph
 */
export async function openEngine (options: EngineOptions, onFallback: (reason: Error) => void): Promise<Engine> {
  let cApi
  try {
    // Not at the top: importing it loads koffi, which may have no build for this machine.
    cApi = await import('./c-api.js')
    cApi.ortLibrary()
  } catch (error) {
    onFallback(error instanceof Error ? error : new Error(String(error)))
    return StockEngine.open(options)
  }
  return cApi.CApiEngine.open(options)
}
