"""requantise.py SOURCE TARGET: the GGUF file with every quantised tensor as Q8_0 instead, all else as it is."""
import sys

import gguf

source, target = sys.argv[1:]
reader = gguf.GGUFReader(source)
WRITTEN_ANYWAY = {gguf.Keys.General.ARCHITECTURE, gguf.Keys.General.FILE_TYPE, gguf.Keys.General.QUANTIZATION_VERSION}
Q8_0 = gguf.GGMLQuantizationType.Q8_0

writer = gguf.GGUFWriter(target, reader.fields[gguf.Keys.General.ARCHITECTURE].contents())
for name, field in reader.fields.items():
    if name in WRITTEN_ANYWAY or name.startswith('GGUF.'):
        continue
    kind = field.types[0]
    writer.add_key_value(name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
for tensor in reader.tensors:
    if tensor.tensor_type == gguf.GGMLQuantizationType.F32:
        writer.add_tensor(tensor.name, tensor.data)
    else:
        writer.add_tensor(tensor.name, gguf.quantize(gguf.dequantize(tensor.data, tensor.tensor_type), Q8_0), raw_dtype=Q8_0)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
