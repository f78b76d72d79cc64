"""peft-process.py SETTINGS: transformers and PEFT on the CPU; answers each line of JSON on stdin by one on stdout.

SETTINGS: weights (safetensors with Hugging Face names), config (of the base's manifest), adapters (PEFT folders, one for
each prompt), dtype (name of torch's), threads. The first line says that it is ready. A load is rows {prompt, input} and
maxTokens; the answer to it is a run as in subject.ts.
"""
import json
import os
import sys
import time

# Whatever a library prints must not be taken for an answer.
answers = os.fdopen(os.dup(sys.stdout.fileno()), 'w')
os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
os.environ['HF_HUB_OFFLINE'] = '1'


def reply(message):
    print(json.dumps(message), file=answers, flush=True)


def open_model(weights, config, adapters, dtype, threads):
    torch.set_num_threads(threads)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=config['vocabSize'], hidden_size=config['hiddenSize'], intermediate_size=config['intermediateSize'],
        num_hidden_layers=config['numLayers'], num_attention_heads=config['numHeads'], num_key_value_heads=config['numKvHeads'],
        head_dim=config['headSize'], rms_norm_eps=config['rmsNormEps'], max_position_embeddings=config['contextLength'],
        tie_word_embeddings=config['tiedEmbeddings'],
        # No row ends before its tokens are full.
        bos_token_id=None, eos_token_id=None, pad_token_id=0))
    tensors = safetensors.torch.load_file(weights)
    if config['tiedEmbeddings']:
        tensors['lm_head.weight'] = tensors['model.embed_tokens.weight']
    model.load_state_dict(tensors)
    model.tie_weights()
    model = model.to(getattr(torch, dtype)).eval()
    # Angles stay in float32, as from_pretrained keeps them, and are the base's own, whatever scaling it has.
    model.model.rotary_emb.inv_freq = torch.tensor(config['ropeInverseFrequencies'], dtype=torch.float32)
    prompted = peft.PeftModel.from_pretrained(model, adapters[0], adapter_name='0')
    for number, adapter in enumerate(adapters[1:], 1):
        prompted.load_adapter(adapter, adapter_name=str(number))
    return prompted.eval()


def run(model, rows, maxTokens):
    """One row after another: a batch of PEFT has one prompt."""

    class Clock(transformers.generation.streamers.BaseStreamer):
        def __init__(self):
            self.times = []

        def put(self, value):
            self.times.append(1000 * time.perf_counter())

        def end(self):
            pass

    begun_at = 1000 * time.perf_counter()
    tokens, ids = [], []
    for row in rows:
        clock = Clock()
        model.set_adapter(str(row['prompt']))
        # Not PEFT's own generate: with transformers 5.24, that of PEFT 0.21 goes astray behind a soft prompt after a few
        # tokens, where this one says what passes without a cache say.
        inputs = model.base_model.get_input_embeddings()(torch.tensor([row['input']]))
        inputs = torch.cat([model.get_prompt(1).to(inputs.dtype), inputs], dim=1)
        answer = model.base_model.generate(
            inputs_embeds=inputs, attention_mask=torch.ones(inputs.shape[:2], dtype=torch.long),
            max_new_tokens=maxTokens, do_sample=False, use_cache=True, streamer=clock)
        ids.append(answer[0].tolist())
        # The streamer may hear of the input first.
        tokens.append(clock.times[-len(ids[-1]):])
    return {'run': {'begunAt': begun_at, 'tokens': tokens, 'ids': ids, 'oneAfterAnother': True}}


try:
    import peft
    import safetensors.torch
    import torch
    import transformers
    model = open_model(**json.loads(sys.argv[1]))
    reply({'ready': True, 'versions': {library.__name__: library.__version__ for library in (torch, transformers, peft)}})
    with torch.inference_mode():
        for line in sys.stdin:
            load = json.loads(line)
            reply(run(model, load['rows'], load['maxTokens']))
except Exception as error:
    reply({'error': f'{type(error).__name__}: {error}'})
