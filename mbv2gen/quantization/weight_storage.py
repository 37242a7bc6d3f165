# SPDX-License-Identifier: Apache-2.0
"""Weight storage: which layers have weights of 4 bits, by what all weights may take or what the output may lose.

Candidates are pointwise and fully connected layers of enough inputs. The largest go first: they save most bytes, they
stand late in the network, and their sums run over many inputs, so that errors of single weights cancel.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mbv2gen.byte_text import byte_count
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Conv2D, FullyConnected, Network
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.pixels.preprocessing import Preprocessing
from mbv2gen.progress import Tell
from mbv2gen.quantization import effort
from mbv2gen.quantization.effort import Quantized
from mbv2gen.quantization.tensor_scales import Weighted

LEAST_INPUTS = 16  # of a sum: with fewer, rounding shows most and hardly a byte is saved


@dataclass(frozen=True)
class Budget:
    """How far weights go down to 4 bits: until they take ``at_most`` bytes, or that ``share`` of what they take with 8
    bits; or as far as the signal-to-noise ratio of the output on the calibration pictures stays at ``snr_db``."""

    text: str  # as the user wrote it
    at_most: int | None = None
    share: float | None = None
    snr_db: float | None = None

    def bytes_of(self, network: Network) -> int | None:
        """None where it counts no bytes."""
        return self.at_most if self.share is None else int(self.share * weight_bytes(network))


@dataclass(frozen=True)
class Storage:
    """``kind``: int8; int4, all candidates; or mixed, by a ``budget``."""

    kind: str = "int8"
    budget: Budget | None = None


KINDS = ("int8", "int4", "mixed")
DEFAULT_BUDGET = Budget("0.6", share=0.6)  # of mixed, or what is nearest to it


def read_budget(text: str) -> Budget:
    """0.6 (of the bytes with int8), 250k (bytes) or 20dB (signal-to-noise); raises Mbv2genError."""
    written = text.strip().replace(" ", "")
    number = re.fullmatch(r"([0-9]*\.?[0-9]+)(db)?", written.lower())
    if number and number[2]:
        return Budget(written, snr_db=float(number[1]))
    if number and 0 < float(number[1]) <= 1:
        return Budget(written, share=float(number[1]))
    count = byte_count(written)
    if count is None:
        raise Mbv2genError(
            f"'{text}' is no budget; write 0.6 (of the bytes with int8), 250k (bytes) or 20dB (signal-to-noise)"
        )
    return Budget(written, at_most=count)


def quantize(
    network: Network,
    pictures: Pictures | None,
    preprocessing: Preprocessing,
    level: int,
    storage: Storage,
    progress: Tell | None = None,
) -> Quantized:
    """effort.quantize with weights stored as ``storage`` says.

    Raises Mbv2genError where the network cannot be quantized, or not within the budget.
    """
    tell = progress or (lambda done, total: None)
    budget = storage.budget
    if budget is None or budget.snr_db is None:
        chosen = four_bits(network, storage)
        return effort.quantize(network, pictures, preprocessing, level, tell, chosen)
    found, steps = candidates(network), _steps(len(candidates(network)))

    def with_largest(count: int, step: int) -> tuple[Quantized, float]:
        within = _share(tell, step, steps)
        made = effort.quantize(network, pictures, preprocessing, level, within, frozenset(found[:count]))
        return made, effort.snr_db(made)

    best, ratio = with_largest(0, 0)
    if ratio < budget.snr_db:
        raise Mbv2genError(
            f"--weights-budget {budget.text}: {network.source.file}: the signal-to-noise ratio is {ratio:.1f} dB with "
            "8 bits in all layers; ask for less"
        )
    fits, fails, step = 0, len(found) + 1, 1
    while fails - fits > 1:
        count = (fits + fails) // 2
        made, ratio = with_largest(count, step)
        step += 1
        if ratio >= budget.snr_db:
            best, fits = made, count
        else:
            fails = count
    return best


def _steps(layers: int) -> int:
    """Networks that bisection makes at most."""
    return 1 + math.ceil(math.log2(layers + 1))


def _share(tell: Tell, step: int, steps: int) -> Tell:
    """Of ``steps`` equal parts the one that begins behind ``step``."""
    return lambda done, total: tell(step * total + done, steps * total)


def candidates(network: Network) -> tuple[str, ...]:
    """The layers whose weights may have 4 bits, the largest first; of equals, the last."""
    found = [
        (operator.weights.size, index, operator.name)
        for index, operator in enumerate(network.operators)
        if isinstance(operator, Conv2D | FullyConnected) and _is_candidate(operator)
    ]
    return tuple(name for _, _, name in sorted(found, reverse=True))


def weight_bytes(network: Network, four_bits: frozenset[str] = frozenset()) -> int:
    """Of all weights, where those of ``four_bits`` take half a byte."""
    layers = [operator for operator in network.operators if isinstance(operator, Weighted)]
    return sum(-(-o.weights.size // 2) if o.name in four_bits else o.weights.size for o in layers)


def four_bits(network: Network, storage: Storage) -> frozenset[str]:
    """The layers that ``storage`` stores with 4 bits; its budget, where it has one, counts bytes.

    Raises Mbv2genError where all of them are not enough.
    """
    found = candidates(network)
    if storage.kind != "mixed":
        return frozenset(found if storage.kind == "int4" else ())
    budget = storage.budget or DEFAULT_BUDGET
    most = budget.bytes_of(network)
    assert most is not None
    for count in range(len(found) + 1):
        chosen = frozenset(found[:count])
        if weight_bytes(network, chosen) <= most:
            return chosen
    if storage.budget is None:
        return chosen
    raise Mbv2genError(
        f"--weights-budget {budget.text}: {network.source.file}: weights take {weight_bytes(network, chosen):,} B "
        f"of {weight_bytes(network):,} B at least, with 4 bits in all {len(found)} layers that can have them"
    )


def _is_candidate(operator: Conv2D | FullyConnected) -> bool:
    """A pointwise or fully connected layer that sums over enough inputs."""
    is_dense = isinstance(operator, FullyConnected) or operator.window.is_pointwise
    return is_dense and operator.weights.shape[-1] >= LEAST_INPUTS
