"""Two gates that differ in everything that a kind asks a gate for."""

from paybatch.domain.capabilities import Capabilities

GATES = {
    "usual": Capabilities(),
    "strict": Capabilities(
        several_captures=False,
        partial_void=False,
        void_captured=False,
        refund_before_settlement=False,
        refund_excess_percent=15,
        two_stage_reversal=True,
    ),
}
