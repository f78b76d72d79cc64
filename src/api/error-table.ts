/** The documentation of the error codes, made from the table that the service answers with. */
import { ERROR_CODES, type ErrorCode } from '../errors.js'
import { errorType, STATUS } from './errors.js'

const MEANING: Record<ErrorCode, string> = {
  invalid_json: 'The body is not JSON, or is empty where one is needed.',
  invalid_request: 'A field is missing, has the wrong type or a value outside its limits; `param` is its path.',
  unknown_parameter: 'A field or query parameter that this route does not have; `param` names it.',
  empty_input: 'The input, or every field of it, is empty or blank.',
  context_too_long: 'Virtual tokens, input and answer do not fit the positions a request has.',
  unsupported_parameter: 'A parameter of OpenAI\'s that is not supported here; `param` names it.',
  invalid_api_key: 'There is no `Authorization: Bearer pf_...`, or the key is unknown or revoked.',
  insufficient_scope: 'The key lacks the scope that the message names.',
  task_not_found: 'There is no such task, or it is another tenant\'s.',
  version_not_found: 'The task has no such version, or the alias never pointed elsewhere.',
  alias_not_found: 'The task has no such alias; a new task has none before its first version.',
  job_not_found: 'There is no such training job, or it is another tenant\'s.',
  file_not_found: 'There is no such file, or it is another tenant\'s.',
  base_not_found: 'This service does not run such a base.',
  key_not_found: 'There is no such API key, or it is another tenant\'s.',
  route_not_found: 'There is no such path.',
  method_not_allowed: 'The path exists and takes other methods; `Allow` lists them.',
  body_too_large: 'The body or the file is over the limit that the message names.',
  unsupported_media_type: 'The route takes no body of this content type.',
  task_exists: 'The tenant has a task of this name.',
  job_not_cancellable: 'The job has ended, or has published its version.',
  idempotency_conflict: 'The Idempotency-Key was used for another request, or the first one is still being answered (`Retry-After`).',
  task_in_use: 'A training job of the task is not finished.',
  alias_moved: '`If-Match` is not the alias\'s tag any more; `ETag` of the answer is.',
  bad_line: 'A line of a JSONL file is wrong; `line` and `param` say where.',
  empty_file: 'The file has no rows.',
  one_label: 'A classification needs at least two labels, in the task and in the training file.',
  unknown_label: 'A row has a label that is none of the task\'s; `line` says which row.',
  not_finite: 'A tensor, or the scores of a prompt, hold NaN or infinity.',
  wrong_base: 'The task or the artifact belongs to another base; the message has both digests.',
  malformed_artifact: 'An artifact, tokenizer or template is damaged or not of a known form.',
  gate_failed: 'The version missed the metric it had to reach, so the alias was not moved.',
  rate_limited: 'Too many requests; `Retry-After` says when to come back.',
  quota_exceeded: 'The tenant\'s quota is used up; `Retry-After` says when it is renewed.',
  internal: 'A mistake of ours; the log has it under the request id.',
  artifact_corrupt: 'Stored bytes do not match their digest; nothing is served from them.',
  newer_schema: 'A newer version of Permafrost stored it; the message names it and both schemas.',
  starting: 'The model is being loaded, or no api process answers the front yet; `Retry-After`.',
  saturated: 'All slots and the queue are full, or prompts of requests that wait take all memory there is for them; `Retry-After`.',
  inference_unavailable: 'No inference process answers, or none goes on with an answer that had begun; `Retry-After`.',
  registry_unavailable: 'Redis does not answer; `Retry-After`.'
}

/** `docs/errors.md`, byte for byte. */
export function errorTable (): string {
  const rows = [...ERROR_CODES]
    .sort((a, b) => STATUS[a] - STATUS[b])
    .map(code => `| ${STATUS[code]} | \`${code}\` | \`${errorType(code)}\` | ${MEANING[code]} |`)
  return `# Error codes

Every refusal has the same body; \`param\` is null where no field is to blame, \`line\` is there for rows of a file.

\`\`\`json
{ "error": { "code": "bad_line", "message": "line 3: not JSON", "param": null, "line": 3, "type": "invalid_request_error", "request_id": "req_..." } }
\`\`\`

Codes are never renamed. \`request_id\` is also in the header \`x-request-id\` and in the log. This page is made from
\`src/api/error-table.ts\`; a test compares them (\`UPDATE_DOCS=1\` writes it anew).

| status | code | type | meaning |
|---|---|---|---|
${rows.join('\n')}
`
}
