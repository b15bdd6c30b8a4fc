"""What a library is built from, and what is told about a built one."""

from __future__ import annotations

from omicsai.tables import Column, Table

__all__ = ["BUILT", "FAMILIES"]

FAMILIES = Table(
    "families",
    (
        Column("family", "text", "name of the family, and of its profiles with a number"),
        Column("clan", "text", "clan of the family, empty for none"),
        Column("class", "text", "what the family stands for, such as an amino acid"),
        Column("description", "text", "written into the profiles"),
        Column("include", "text", "regular expression that product names must match"),
        Column("exclude", "text", "regular expression that they must not match"),
        Column("least", "integer", "named members that a subfamily needs"),
    ),
)
BUILT = Table(
    "built",
    (
        Column("profile", "text", "name of the profile"),
        Column("family", "text", "family it belongs to"),
        Column("class", "text", "what the family stands for"),
        Column("clan", "text", "clan of the family"),
        Column("named", "integer", "members found by product name"),
        Column("recruited", "integer", "members without a product name, found by score"),
        Column("aligned", "integer", "members the profile was built from"),
        Column("held_out", "integer", "members kept out for the threshold"),
        Column("length", "integer", "match positions"),
        Column("gathering", "number", "gathering threshold, bits"),
        Column("decoy", "number", "third highest score of a protein of another kind"),
        Column("held_out_found", "number", "share of held-out members at the threshold"),
    ),
)
