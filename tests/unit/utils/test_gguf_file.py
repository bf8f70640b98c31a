"""GGUF files as the gguf library writes and reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.tiny_models import needs_base
from subjectwise.errors import BaseModelError
from subjectwise.models.gguf import embedded_file
from subjectwise.utils.gguf_file import metadata_value, read_gguf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    from gguf import GGUFWriter

    path = tmp_path / "some.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 30)
    writer.add_float32("llama.rope.freq_base", 0.5)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_int64("some.int64", -(2**40))
    writer.add_array("some.texts", ["a", "\u00e9", ""])
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_string("some.text", "\u5149")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_every_kind_of_value(file: Path) -> None:
    metadata = read_gguf(file).metadata
    assert metadata["general.architecture"] == "llama"
    assert metadata["llama.block_count"] == 30
    assert metadata["llama.rope.freq_base"] == 0.5
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert metadata["some.int64"] == -(2**40)
    assert metadata["some.texts"] == ["a", "\u00e9", ""]
    assert metadata["some.numbers"] == [1, 2, 3]
    assert metadata["some.text"] == "\u5149"


def test_a_value_of_another_kind_is_refused(file: Path) -> None:
    metadata = read_gguf(file).metadata
    assert metadata_value(metadata, "some.texts", list, file) == ["a", "\u00e9", ""]
    for key in ("some.text", "missing"):
        with pytest.raises(BaseModelError, match=f"lacks {key}"):
            metadata_value(metadata, key, list, file)


@pytest.mark.parametrize("size", [0, 3, 20, 100, 200])
def test_a_file_that_ends_early_is_refused(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(BaseModelError, match="as GGUF"):
        read_gguf(file)


def test_another_file_is_refused(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(BaseModelError, match="is not a GGUF file"):
        read_gguf(file)
    with pytest.raises(BaseModelError, match="FileNotFoundError"):
        read_gguf(file.with_name("missing.gguf"))


def write_tensors(
    path: Path, alignment: int | None = None
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    from gguf import GGMLQuantizationType, GGUFWriter, quantize

    generator = np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    if alignment:
        writer.add_custom_alignment(alignment)
    written = {}
    for kind in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"):
        number = GGMLQuantizationType[kind]
        values = generator.standard_normal((3, 64), dtype=np.float32)
        written[f"blk.0.{kind}.weight"] = values
        writer.add_tensor(f"blk.0.{kind}.weight", quantize(values, number), raw_dtype=number)
    written["norm.weight"] = generator.standard_normal(5, dtype=np.float32)
    writer.add_tensor("norm.weight", written["norm.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return written


@pytest.mark.parametrize("alignment", [None, 64])
def test_tensors_as_the_library_reads_them(tmp_path: Path, alignment: int | None) -> None:
    from gguf import GGUFReader, dequantize

    path = tmp_path / "tensors.gguf"
    written = write_tensors(path, alignment)
    file = read_gguf(path)
    assert list(file.tensors) == list(written)
    for tensor in GGUFReader(path).tensors:
        values = file.values(tensor.name)
        np.testing.assert_array_equal(values, dequantize(tensor.data, tensor.tensor_type))
        np.testing.assert_allclose(values, written[tensor.name], atol=0.3)
        assert values.shape == written[tensor.name].shape and values.dtype == np.float32


def test_a_file_that_ends_within_a_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tensors.gguf"
    write_tensors(path)
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(BaseModelError, match=r"Cannot read the tensor norm\.weight"):
        read_gguf(path).values("norm.weight")


@needs_base
@pytest.mark.slow  # the library takes 6 s
def test_the_embedded_base() -> None:
    from gguf import GGUFReader, dequantize

    file = read_gguf(embedded_file())
    reader = GGUFReader(embedded_file())
    assert {name: file.metadata[name] for name in reader.fields if name in file.metadata} == {
        name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")
    }
    assert len(file.tensors) == len(reader.tensors)
    for tensor in reader.tensors:
        np.testing.assert_array_equal(file.values(tensor.name), dequantize(tensor.data, tensor.tensor_type))
