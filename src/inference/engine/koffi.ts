/** koffi with the settings it needs before the first library is loaded. */
import koffi from 'koffi'

// The default of 128 KiB is for small functions; kernels keep panels of their operands on the stack.
koffi.config({ async_stack_size: 8 * 1024 * 1024 })

export { koffi }
