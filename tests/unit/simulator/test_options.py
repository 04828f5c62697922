"""Options out of bounds are refused by name."""

import pytest

from runtime.errors import Misconfigured
from simulator.options import FLAGS, SimulatorOptions


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("symbols", 0),
        ("port", 65_536),
        ("trades_per_s", -1.0),
        ("history_s", 3_601),
        ("rows_max", 10),
        ("tick_ms", 0),
        ("markets", ("moon",)),
        ("markets", ()),
        ("exchanges", ("moon",)),
        ("exchanges", ()),
        ("liquidations_per_s", -1.0),
    ],
)
def test_a_number_out_of_bounds_is_refused_by_name(option, value):
    with pytest.raises(Misconfigured, match=FLAGS.get(option, "--" + option.replace("_", "-"))):
        SimulatorOptions(**{option: value})
