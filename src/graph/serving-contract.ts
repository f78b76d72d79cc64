/**
 * Names of the serving graph's inputs and outputs, whatever the family, number format or attention lowering.
 * B rows, S new tokens for each row, T positions of a slot, H hidden size, V vocabulary, KH key/value heads, D head size.
 *
 * | tensor          | type, shape        | meaning |
 * |-----------------|--------------------|---------|
 * | `input_ids`     | i64 [B,S]          | new tokens; V + j reads row j of `soft_table` |
 * | `soft_table`    | f32 [N,H], N >= 1  | embeddings of virtual tokens, in this graph's (rotated) residual space |
 * | `seqlens_k`     | i32 [B]            | length of the row after this step, minus 1 |
 * | `total_seq_len` | i32 scalar         | longest length in the batch after this step |
 * | `hidden_rows`   | i64 [R]            | flat rows b*S+s that pass the last norm |
 * | `logit_rows`    | i64 [N], N >= 0    | indices into `hidden_rows` that also pass the head |
 * | `past_k_l`, `past_v_l` | f32 [B,KH,T,D] | slots, before |
 * | `hidden`        | f32 [R,H]          | behind the last norm, in this graph's space (no gain when rotated) |
 * | `logits`        | f32 [N,V]          | |
 * | `present_k_l`, `present_v_l` | as past | bound to the same memory as past: updated in place |
 *
 * S > 1 with a past wants B = 1. The S new tokens of a row take positions length-S .. length-1.
 *
 * The lanes graph runs several short inputs at once, each in a slot of its own: `input_ids` is i64 [S], the tokens of all
 * of them, and there is no `soft_table`. What belongs to one input comes once for each of `LANES` lanes, under `laneName`.
 * The kernel wants a token, so a lane that is not used takes any one of them again, in a slot of T = 1 that nobody reads,
 * and what comes of it is left out.
 *
 * | tensor            | type, shape  | meaning |
 * |-------------------|--------------|---------|
 * | `lane_rows_j`     | i64 [Sj]     | tokens of lane j in `input_ids`; over the lanes in use 0 .. S-1 in order |
 * | `used_rows`       | i64 [S]      | 0 .. S-1: of what all lanes give, that of those in use |
 * | `seqlens_k_j`, `total_seq_len_j`, `past_k_l_j`, ... | as above, B = 1 | |
 */

/** Inputs that one run of the lanes graph takes in at most. */
export const LANES = 8

export const pastName = (part: 'k' | 'v', layer: number): string => `past_${part}_${layer}`
export const presentName = (part: 'k' | 'v', layer: number): string => `present_${part}_${layer}`
export const laneName = (name: string, lane: number): string => `${name}_${lane}`
