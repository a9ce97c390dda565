"""An index on a (stand-in) GPU: the same answers, the same kind out, nothing of it NumPy's."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis.stateful import run_state_machine_as_test

import hamming
from hamming import arrays
from hamming.index import segments, state
from tests.cuda.fake_cupy import FakeArray
from tests.cuda.test_arrays_on_a_gpu import DB, QUERIES, gpu, there  # noqa: F401
from tests.hamming.index_model import IndexMachine


class DeviceMachine(IndexMachine):
    """The index lies on the GPU; what is saved there is loaded and moved there again."""

    there = staticmethod(lambda array: FakeArray(array.copy()))
    home = "cuda:0"

    @staticmethod
    def back(array: FakeArray) -> np.ndarray:
        assert isinstance(array, FakeArray)
        return array.hidden


@pytest.mark.parametrize("gather", [0, 3])
def test_every_sequence(gather: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MIN_BYTES", 4)
    monkeypatch.setattr(segments, "GATHER", gather)
    settings = hypothesis.settings(max_examples=12, stateful_step_count=20)
    run_state_machine_as_test(DeviceMachine, settings=settings)


def test_to_and_fro() -> None:
    index = hamming.Index.from_codes(DB, ids=np.arange(300)[::-1].copy())
    index.remove([7])
    device = index.to("cuda")
    assert device.device == "cuda:0"
    assert isinstance(device.codes, FakeArray)
    again = device.to("cpu")
    assert again.device == "cpu"
    np.testing.assert_array_equal(again.codes, index.codes)
    np.testing.assert_array_equal(again.ids, index.ids)


def test_a_gpu_that_is_not_there_is_one_sentence() -> None:
    sentence = r"^device: expected one of the 1 GPUs that .* got cuda:7; the last one is cuda:0$"
    with pytest.raises(ValueError, match=sentence), arrays.on_device("cuda:7"):
        pass


def test_arguments_of_the_other_side() -> None:
    device = hamming.Index.from_codes(DB).to("cuda")
    with pytest.raises(
        ValueError, match=r"^query_codes: expected device cuda:0 like the index, got cpu; "
    ):
        device.topk(QUERIES, 1)
    with pytest.raises(
        ValueError, match=r"^codes: expected device cuda:0 like the index, got cpu; "
    ):
        device.add(DB)
    host = hamming.Index.from_codes(DB)
    with pytest.raises(ValueError, match=r"^ids: expected an array in host memory like the index"):
        host.remove(there(np.array([1])))
    with pytest.raises(ValueError, match=r"^filter: expected an array in host memory like the"):
        host.topk(QUERIES, 1, filter=there(np.ones(300, bool)))


def test_ids_that_it_does_not_have_are_no_candidates() -> None:
    """Where a look at them would wait for the device."""
    device = hamming.Index.from_codes(DB).to("cuda")
    values = np.ones((1, 64), np.float32)
    found = device.rescore(there(values), there(np.array([[5, 999]])), 2)
    assert found.indices.hidden.tolist() == [[5, -1]]
