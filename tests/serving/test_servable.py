"""A version in a session: what it refuses, and in how many lines."""

import numpy as np
import pytest

from serving.errors import InvalidArgument, ServingError
from serving.servable import Servable

HEAT = {"text": np.array([b"Heat"], dtype=object)}


@pytest.fixture
def servable(toy):
    servable = Servable(toy / "3", 3)
    yield servable
    servable.close()


def test_the_empty_name_is_serving_default(servable):
    assert servable.signature("") is servable.signature("serving_default")
    with pytest.raises(InvalidArgument, match='"none" not found'):
        servable.signature("none")


def test_the_init_op_is_no_signature(servable):
    assert set(servable.signatures) == {
        "serving_default",
        "rank",
        "embed",
        "recommend",
        "first",
        "echo",
    }


def test_table_and_variable_are_those_that_were_saved(servable):
    assert servable.run("embed", HEAT)["vector"].tolist() == [[4.0, 4.25]]


def test_the_graphs_own_words_without_its_stack(servable):
    inputs = {"text": np.array([b""], dtype=object), "k": np.array(9, np.int32)}
    with pytest.raises(InvalidArgument) as caught:
        servable.run("first", inputs)
    assert str(caught.value).startswith("assertion failed: [k is larger than 3]")
    assert "\n" not in str(caught.value)


def test_a_closed_session_is_an_error_of_ours(servable):
    servable.close()
    with pytest.raises(ServingError, match=r"signature embed: .*closed"):
        servable.run("embed", HEAT)


@pytest.mark.parametrize("graph", [None, b"", b"\xff\xff\xff"])
def test_what_cannot_be_loaded_is_told_in_one_line(tmp_path, graph):
    if graph is not None:
        (tmp_path / "saved_model.pb").write_bytes(graph)
    with pytest.raises(ServingError) as caught:
        Servable(tmp_path, 1)
    assert str(caught.value).startswith(f"{tmp_path} cannot be loaded: ")
    assert "\n" not in str(caught.value)
