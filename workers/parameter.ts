/** A trained tensor; `values` is changed in place, row-major. */
export interface Parameter { readonly name: 'prompt' | 'label_vectors', readonly dims: readonly [rows: number, columns: number], readonly values: Float32Array }

export type ParameterValues = ReadonlyArray<Float32Array>
