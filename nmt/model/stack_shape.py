"""The sizes and connections of a stack of layers."""

from typing import NamedTuple

from nmt.choices import Bidirectional, CellKind, Connection


class StackShape(NamedTuple):
    """Sizes and connections of a stack of layers.

    Attributes:
        joined_dim: size of what joins the input of every layer.
        first_number: number of the lowest layer; dropout comes before all layers but number 1.
        connection_from: number of the first layer with `connection`.
        input_skip: the stack's input joins that of all layers but the lowest.
    """

    kind: CellKind
    input_dim: int
    hidden_dim: int
    num_layers: int
    joined_dim: int = 0
    first_number: int = 1
    bidirectional: Bidirectional = Bidirectional.none
    connection: Connection = Connection.plain
    connection_from: int = 2
    input_skip: bool = False

    def num_directions(self, index: int) -> int:
        is_both = self.bidirectional == Bidirectional.all or (self.bidirectional == Bidirectional.first and index == 0)
        return 2 if is_both else 1

    def output_dim(self, index: int) -> int:
        """Return the size of the output of the layer with this index; -1 is the stack's input."""
        return self.input_dim if index < 0 else self.hidden_dim * self.num_directions(index)

    def connection_of(self, index: int) -> Connection:
        """Return how a layer is connected: only if its input is as large as its output."""
        has_connection = self.first_number + index >= self.connection_from
        return self.connection if has_connection and self.fits(index) else Connection.plain

    def fits(self, index: int) -> bool:
        return self.output_dim(index - 1) == self.output_dim(index)
