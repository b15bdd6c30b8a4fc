"""The configuration: every option of every stage, declared once.

Each section is a model whose fields are the options of the command of the same name, so
that a key in ``config.yaml``, an option on the command line and a line of ``--help`` are
one thing. Problems are collected in one pass and named with file and line.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from omicsai.errors import ConfigError

__all__ = ["Config", "Section", "options_from", "problem_text", "read_config"]

LARGEST_SEED = 2**32 - 1
BUILTIN, PFAM = "builtin", "pfam"  # profile libraries by one word
Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
# repeated from `omicsai.robust`, which light commands must not load
Loss = Literal[
    "proselflc",
    "cross_entropy",
    "label_smoothing",
    "confidence_penalty",
    "boot_soft",
    "boot_hard",
    "mae",
    "mse",
    "gce",
    "sce",
    "imae",
    "dm",
    "elr",
    "sop",
]


MultiLabelLoss = Literal["bce", "focal", "asl", "hill", "splc", "nnpu", "proselflc"]
# fields of `TrainOptions` that only a model of several labels has
MULTILABEL_ONLY = {"task", "multilabel_loss", "hierarchy", "annotated"}
# and those that it does not have
SINGLE_ONLY = (
    "loss", "imbalance", "trust", "target_gradient", "target_memory", "keep",
    "calibration", "mislabels",
)  # fmt: skip


class Section(BaseModel):
    """A group of options; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and wanted is not bool:  # would pass as 1 or 0
            raise ValueError("true and false are not values of this key")
        return value


class SimulateOptions(Section):
    """The simulated example."""

    classes: int = Field(
        8, ge=2, le=20, description="number of amino acids, the classes of synthetases"
    )
    family_size: int = Field(
        9, ge=4, le=1000, description="mean number of proteins in a family"
    )
    mislabelled_fraction: float = Field(
        0.2, ge=0, le=0.9, description="share of labels replaced by a wrong one"
    )
    near_duplicates: int = Field(
        60, ge=0, description="near-copies (95-99 % identity) of training proteins"
    )


class CheckOptions(Section):
    """What a usable record is, and where labels come from."""

    label_column: str = Field("label", description="column of the label tables")
    header_pattern: str | None = Field(
        None,
        description="regular expression with a group (?P<label>...) that takes labels from "
        "FASTA headers",
    )
    unknown_labels: list[str] = Field(
        ["unknown", "NA"], description="words that mean: label not known"
    )
    min_length: Positive = Field(10, description="shortest accepted sequence, residues")
    max_length: Positive | None = Field(
        None, description="longest accepted sequence, residues; empty for no limit"
    )
    max_unknown_fraction: float = Field(
        0.5, ge=0, le=1, description="largest accepted share of unknown residues (X)"
    )


class SplitOptions(Section):
    """Homology-aware train/validation/test split."""

    method: Literal[
        "homology", "kfold", "cluster", "random", "family", "column", "time"
    ] = Field(
        "homology",
        description="homology and kfold leave no similar pair between parts (folds); the "
        "others are audited: whole MMseqs2 clusters, random, whole families, values of a "
        "column, order of a column",
    )
    identity: Fraction = Field(
        0.3, description="sequences are alike from this share of identical positions on"
    )
    coverage: Fraction = Field(0.5, description="and from this aligned share on")
    identity_over: Literal["alignment", "shorter", "longer"] = Field(
        "alignment",
        description="identity is over the alignment, the shorter or the longer sequence",
    )
    coverage_of: Literal["either", "both"] = Field(
        "either", description="coverage must be reached by either or by both sequences"
    )
    fractions: list[Fraction] = Field(
        [0.6, 0.2, 0.2],
        min_length=3,
        max_length=3,
        description="shares of train, validation and test",
    )
    folds: int = Field(
        5,
        ge=2,
        description="cross-fitting folds in train, for suspected mislabels; folds of kfold",
    )
    tolerance: float = Field(
        0.05,
        ge=0,
        le=1,
        description="a family is cut, and sequences removed, if a part would exceed its "
        "share by more than this share of all sequences",
    )
    stratify: list[str] = Field(
        [],
        description="more columns of the label tables to balance; numbers by quintiles",
    )
    keep_for_training: bool = Field(
        False,
        description="train also on removed sequences that are like training ones alone",
    )
    compare: bool = Field(
        True, description="compare with a random split and one of whole clusters"
    )
    exhaustive_up_to: Positive = Field(
        100_000,
        description="up to so many sequences every pair between parts is examined",
    )
    sensitivity: float = Field(
        7.5,
        ge=1,
        le=7.5,
        description="MMseqs2 sensitivity of the search between parts of larger sets",
    )
    audit_queries: Positive = Field(
        3000,
        description="random sequences that are audited by MMseqs2 too, where they are a "
        "tenth of all or less or the set is above exhaustive_up_to",
    )
    phmmer_queries: int = Field(
        0, ge=0, description="test sequences searched by phmmer against train; 0 for none"
    )


class AnnotateOptions(Section):
    """Profile HMM search."""

    profiles: str = Field(
        BUILTIN,
        description="'builtin' (ships with omicsai), 'pfam' (downloaded once), or a HMMER3 "
        "library (.hmm, .hmm.gz, .h3m)",
    )
    cutoff: Literal["gathering", "trusted", "noise", "evalue"] = Field(
        "gathering", description="the profiles' own thresholds, or an E-value"
    )
    evalue: float = Field(
        1e-3, gt=0, description="largest E-value, used with the cutoff 'evalue'"
    )
    z: Positive | None = Field(
        None,
        description="comparisons that E-values count; empty for the number of profiles",
    )
    resolution: Literal["strict", "off"] = Field(
        "strict",
        description="of overlapping families of one clan keep the best (strict), or all",
    )
    overlap: Literal["alignment", "envelope"] = Field(
        "alignment", description="coordinates in which domains overlap"
    )
    clans: str | None = Field(
        None,
        description="Pfam-A.clans.tsv or Pfam-A.hmm.dat; empty for the library's own",
    )
    go: str | None = Field(
        None, description="mapping of families to GO terms, such as pfam2go; empty for none"
    )
    pfam_release: str = Field(
        "37.4", pattern=r"^[0-9]+\.[0-9]+$", description="release that 'pfam' stands for"
    )
    pfam_url: str = Field(
        "https://ftp.ebi.ac.uk/pub/databases/Pfam/releases",
        description="folder of Pfam's releases",
    )


SHIPPED_ENCODERS = ("composition", "omicsai-tiny")


class EmbedOptions(Section):
    """Protein embeddings."""

    encoder: str = Field(
        "composition",
        description="'composition', 'omicsai-tiny', or a ProtTrans, Ankh or ESM-2 model: "
        "folder or hub id",
    )
    revision: str | None = Field(
        None, description="revision of a hub model; empty for its newest"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where a language model runs"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto", description="float32 on a CPU and bfloat16 on a GPU, or as said"
    )
    shards: int = Field(
        1, ge=1, le=1000, description="jobs that share the work of a batch between them"
    )


class LearningOptions(Section):
    """How a classifier learns."""

    loss: Loss | None = Field(
        None,
        description="loss of the model; empty: proselflc, sce or elr, whichever ends best "
        "in pilot runs, or label_smoothing if that is clearly ahead",
    )
    head: Literal["linear", "mlp", "light_attention"] | None = Field(
        None,
        description="classifier on the embeddings; empty: mlp, or light_attention for "
        "embeddings of residues",
    )
    hidden: Positive = Field(
        64, description="hidden units of the mlp head, filters of light attention"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout of the mlp head")
    members: Positive = Field(
        5, description="independently seeded members whose logits are averaged"
    )
    epochs: Positive = Field(50, description="passes over the training part")
    batch_size: Positive = Field(64, description="sequences per step")
    learning_rate: float = Field(3e-3, gt=0, description="AdamW step size at the start")
    weight_decay: float | None = Field(
        None,
        ge=0,
        description="AdamW weight decay, decoupled: times the step size; empty: from "
        "pilot runs",
    )
    imbalance: Literal["none", "batches", "logits"] = Field(
        "none",
        description="rare classes: batches draws all classes equally often, logits adds "
        "the log class frequencies to the logits while training",
    )
    exp_base: float = Field(
        8.0, ge=0, description="ProSelfLC: how sharply trust rises with time (B)"
    )
    transit: float | None = Field(
        None,
        ge=0,
        le=1,
        description="ProSelfLC: share of training at half trust; empty: from a pilot run",
    )
    temperature: float = Field(
        0.5,
        gt=0,
        le=1,
        description="ProSelfLC: sharpening of the model's own labels (T)",
    )
    target_gradient: bool = Field(
        False, description="ProSelfLC: targets carry a gradient (T = 1: form of 2021)"
    )
    target_memory: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="ProSelfLC: correct by a running mean of predictions, with this decay",
    )
    trust: Literal["entropy", "max", "global"] = Field(
        "entropy", description="ProSelfLC: how single predictions are trusted"
    )


class TrainOptions(LearningOptions):
    """Noise-robust training."""

    keep: Literal["last", "best"] = Field(
        "last", description="state that becomes the model: last, or best on validation"
    )
    unknown: Literal["mask", "pseudo", "random"] = Field(
        "mask",
        description="training sequences without a label: left out, given what the model "
        "knows (proselflc), or a random label (a stress test)",
    )
    calibration: Literal["temperature", "vector"] | None = Field(
        None,
        description="probabilities from scores by one number, or by a scale and a bias "
        "for each class; empty: what explains held-out validation labels better",
    )
    mislabels: Literal["report", "downweight", "drop", "correct"] = Field(
        "report",
        description="what is done about training labels that are probably wrong, before "
        "the model is trained again; report: nothing",
    )
    task: Literal["single", "multi"] = Field(
        "single",
        description="multi: sequences may have several labels (joined by ;), each with a "
        "probability of its own",
    )
    multilabel_loss: MultiLabelLoss = Field("bce", description="multi: loss of the model")
    hierarchy: str | None = Field(
        None,
        description="multi: what labels imply: 'ec' for EC numbers, or an ontology (.obo)",
    )
    annotated: Fraction = Field(
        0.7,
        description="multi: share of the true labels that are annotated, as nnpu assumes",
    )

    @model_validator(mode="after")
    def _nothing_is_without_effect(self) -> TrainOptions:
        fields = type(self).model_fields
        idle = [
            name
            for name in SINGLE_ONLY
            if self.task == "multi" and getattr(self, name) != fields[name].default
        ]
        if idle:
            raise ValueError(
                f"a model of several labels has no {' or '.join(idle)}: choose task "
                "single, or leave that out"
            )
        if self.task == "multi" and self.unknown == "random":
            raise ValueError("random labels are for one label a sequence: mask or pseudo")
        return self


class NoiseOptions(Section):
    """Planted wrong labels; an experiment's command, not a stage of the workflow."""

    kind: Literal["symmetric", "class", "neighbour", "cluster"] = Field(
        "symmetric",
        description="which labels go wrong: any; to one other class for each class; of "
        "hard examples, to the nearest class; of whole clusters",
    )
    rate: float = Field(0.2, ge=0, le=1, description="share of labels made wrong")


class NoiseBenchmarkOptions(LearningOptions):
    """Losses beside each other on planted noise; `members` seeds, `loss` the reference.

    Without a loss the reference is ``chosen``: what `train` would do by default.
    """

    conditions: list[str] = Field(
        [
            "symmetric:0",
            "symmetric:0.2",
            "symmetric:0.4",
            "symmetric:0.6",
            "class:0.2",
            "class:0.4",
        ],
        min_length=1,
        description="kinds of noise (those of 'omicsai noise') with their rates",
    )
    methods: list[str] = Field(
        [],
        description="losses, chosen (what pilot runs on the wrong labels choose), "
        "cross_entropy_tuned, proselflc_tuned, sce_tuned and elr_tuned (decay from such "
        "runs), and the variants proselflc_2021 (live target, T = 1), "
        "proselflc_half (transit 0.5), proselflc_steep (B = 16), proselflc_memory, "
        "proselflc_adjusted, and the head ridge; empty for all",
    )
    resamples: int = Field(300, ge=100, description="bootstrap samples of whole clusters")


class EvaluateOptions(Section):
    """Metrics on held-out sequences."""

    resamples: int = Field(1000, ge=100, description="bootstrap samples of whole clusters")
    coverage: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="probability that a set of labels holds the true one, to be checked",
    )


class PredictOptions(Section):
    """Predictions on any batch."""

    novel_fdr: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="largest expected share of familiar sequences among those called novel",
    )
    coverage: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="probability that a set of labels holds the true one",
    )


class NumberOptions(Section):
    """Canonical numbering of tRNAs."""

    draw: Literal["none", "classes", "each"] = Field(
        "classes", description="cloverleaf drawings: none, one per isotype, one per tRNA"
    )
    backend: Literal["enumeration", "cmalign"] = Field(
        "enumeration",
        description="cmalign: second opinion of Infernal on records that are not ok",
    )


class CovarianceOptions(Section):
    """Covariance model of tRNAs, for a second opinion on their numbering."""

    alignment: str | None = Field(
        None,
        description="seed of the covariance model, Stockholm (Rfam RF00005), a file or an "
        "http(s) address",
    )
    checksum: str | None = Field(
        None, description="of what is fetched, ALGORITHM:DIGITS (md5, sha256, sha512)"
    )


class IdentityOptions(Section):
    """Identity elements of tRNAs."""

    organism: str = Field(
        "Escherichia coli",
        description="whose identity table is checked and used; a batch may name its own",
    )
    table: str | None = Field(
        None, description="identity table of your own (TSV); empty for the shipped one"
    )
    min_support: float = Field(
        0.75, ge=0, le=1, description="claims with less support (k/n) are not used"
    )
    permutations: int = Field(
        200, ge=20, description="label permutations behind the p-values of the logos"
    )


class DistanceOptions(Section):
    """Distances between tRNAs."""

    weights: Literal["uniform", "identity", "information", "learned"] = Field(
        "uniform", description="weight of each canonical position"
    )
    pairs: Literal["off", "on"] = Field(
        "off",
        description="on: a stem pair counts once, half if the change keeps it paired",
    )
    threshold: float = Field(
        0.15, gt=0, le=1, description="distance at which clusters are cut"
    )


class CognatesOptions(Section):
    """Which synthetase would recognise a tRNA."""

    exclude: list[str] = Field(
        ["34", "35", "36"], description="positions left out of the scores"
    )
    min_positions: Positive = Field(
        3, description="classes judged on fewer identity positions are flagged"
    )
    shrinkage: float = Field(
        4.0, gt=0, description="pseudo-tRNAs of the host's all-class frequencies"
    )


class IsotypeOptions(Section):
    """Classifier of the amino acid from the body of a tRNA."""

    anticodon: Literal["masked", "kept"] = Field(
        "masked", description="whether the classifier sees positions 34-36"
    )
    head: Literal["ridge", "linear"] = Field(
        "ridge",
        description="closed form with label correction, or trained by the loss",
    )
    loss: Literal["proselflc", "cross_entropy"] = Field(
        "proselflc", description="loss of the linear head"
    )
    members: Positive = Field(5, description="seeded members of the linear head")
    epochs: Positive = Field(
        40, description="passes of the linear head over the training part"
    )
    adapt: Literal["on", "off"] = Field(
        "on", description="whether the ridge head learns from the batch it predicts"
    )
    folds: int = Field(5, ge=2, description="cross-fitting folds, by cluster")
    identity: Fraction = Field(
        0.85, description="identity at which tRNAs are of one cluster"
    )

    @model_validator(mode="after")
    def _nothing_is_without_effect(self) -> IsotypeOptions:
        fields = type(self).model_fields
        idle = [
            name
            for name in ("loss", "members", "epochs")
            if self.head == "ridge" and getattr(self, name) != fields[name].default
        ]
        if idle:
            raise ValueError(
                f"the ridge head has no {' or '.join(idle)}: choose head linear, or "
                "leave that out"
            )
        return self


class PairingOptions(Section):
    """Synthetases and tRNAs of the same genomes."""

    synthetases: str | None = Field(
        None, description="FASTA file of synthetase proteins; empty for no pairing"
    )
    genomes: str | None = Field(
        None,
        description="table with the columns id (synthetase or tRNA) and genome; a column "
        "amino_acid may say what a synthetase attaches",
    )
    permutations: int = Field(
        999, ge=99, description="permutations of genomes behind the p-values"
    )


class ReportOptions(Section):
    """The page."""

    title: str = Field("omicsai report", description="title of the page")


class Config(Section):
    """The whole configuration."""

    batches: str = Field(
        "config/batches.tsv",
        description="table of batches: batch role molecule fasta labels",
    )
    results: str = Field("results", description="folder that receives the results")
    seed: int = Field(1, ge=0, le=LARGEST_SEED, description="seed of every random choice")
    control: Loss = Field(
        "cross_entropy",
        description="loss of the control model trained beside the model",
    )
    host: str | None = Field(
        None,
        description="tRNA batch whose synthetases judge; empty: each batch its own",
    )
    simulate: SimulateOptions = SimulateOptions()
    check: CheckOptions = CheckOptions()
    split: SplitOptions = SplitOptions()
    annotate: AnnotateOptions = AnnotateOptions()
    embed: EmbedOptions = EmbedOptions()
    train: TrainOptions = TrainOptions()
    evaluate: EvaluateOptions = EvaluateOptions()
    predict: PredictOptions = PredictOptions()
    number: NumberOptions = NumberOptions()
    covariance: CovarianceOptions = CovarianceOptions()
    identity: IdentityOptions = IdentityOptions()
    distance: DistanceOptions = DistanceOptions()
    cognates: CognatesOptions = CognatesOptions()
    isotype: IsotypeOptions = IsotypeOptions()
    pairing: PairingOptions = PairingOptions()
    report: ReportOptions = ReportOptions()

    @field_validator("results")
    @classmethod
    def _results_is_a_folder_of_its_own(cls, value: str) -> str:
        if not value.strip("./ ") or set(value) & set("{}<>"):
            raise ValueError("must name a folder of its own, for example 'results'")
        return value

    @field_validator("split")
    @classmethod
    def _split_needs_no_more_tables(cls, value: SplitOptions) -> SplitOptions:
        if value.method not in ("homology", "cluster", "random"):
            raise ValueError(
                f"the workflow splits by the methods homology, cluster and random; "
                f"'{value.method}' is for 'omicsai split', which takes its tables, or "
                "makes folds instead of parts"
            )
        return value


def read_config(values: Mapping[str, Any], files: Sequence[Path | str] = ()) -> Config:
    """Validate a merged configuration.

    Parameters
    ----------
    values
        The configuration as Snakemake merged it.
    files
        Files it came from, later ones winning; used to name lines.

    Returns
    -------
    Config
        With defaults filled in.

    Raises
    ------
    ConfigError
        Once, with every problem: file, line, key, value and the likely intention.
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        lines = {Path(file): _key_lines(Path(file)) for file in files}
        problems = [
            f"  {_place(dict(item), lines)}{problem_text(dict(item), Config)}"
            for item in error.errors()
        ]
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ConfigError(
            f"the configuration has {count}:\n" + "\n".join(problems)
        ) from None


def options_from(section: type[Section], values: Mapping[str, Any]) -> Section:
    """Validate the options of one command.

    Raises
    ------
    ConfigError
        With every problem, each under the name of its command-line option.
    """
    try:
        return section.model_validate(dict(values))
    except ValidationError as error:
        problems = []
        for item in error.errors():
            text = problem_text(dict(item), section, named=False)
            if item["loc"]:  # else it is about several options
                option = str(item["loc"][0]).replace("_", "-")
                text = f"--{option} {item['input']!r}: {text}"
            problems.append(text)
        raise ConfigError("; ".join(problems)) from None


def problem_text(
    item: Mapping[str, Any], model: type[BaseModel], *, named: bool = True
) -> str:
    """Say one pydantic problem in words, with the likely intention where there is one."""
    loc = [str(part) for part in item["loc"]]
    if item["type"] == "extra_forbidden":
        section = model
        for part in loc[:-1]:
            section = section.model_fields[part].annotation  # type: ignore[assignment]
        known = list(section.model_fields)
        return f"'{'.'.join(loc)}' is not a known key{_suggest(loc[-1], known)}"
    # a section, whose options do not go together
    whole = isinstance(item["input"], (dict, Section))
    value = "" if whole else f" = {item['input']!r}"
    name = f"'{'.'.join(loc)}'{value}: " if named and loc else ""
    if item["type"] == "literal_error":
        allowed = [
            word.strip("' ")
            for word in item["ctx"]["expected"].replace(" or ", ", ").split(",")
        ]
        return (
            f"{name}not one of {', '.join(allowed)}{_suggest(str(item['input']), allowed)}"
        )
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{name}{message[0].lower()}{message[1:]}"


def _suggest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f". Did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"


def _place(
    item: Mapping[str, Any], lines: Mapping[Path, Mapping[tuple[str, ...], int]]
) -> str:
    """File and line of a bad value; the command line if no file holds that value."""
    path = tuple(str(part) for part in item["loc"])
    whole = isinstance(item["input"], (dict, Section))  # merged from several files
    for file, known in reversed(list(lines.items())):
        # compared as text, because not-a-number does not equal itself
        if path in known and (
            whole or repr(_value_at(file, item["loc"])) == repr(item["input"])
        ):
            return f"{file}, line {known[path]}: "
    return "command line: " if lines else ""


def _value_at(file: Path, loc: Sequence[str | int]) -> Any:
    value = yaml.safe_load(file.read_text(encoding="utf-8"))
    for part in loc:
        value = value[part]
    return value


def _key_lines(file: Path) -> dict[tuple[str, ...], int]:
    """Line number of every key of a YAML file, by its path of keys."""
    lines: dict[tuple[str, ...], int] = {}

    def walk(node: yaml.Node | None, path: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                lines[(*path, str(key.value))] = key.start_mark.line + 1
                walk(value, (*path, str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                lines[(*path, str(number))] = value.start_mark.line + 1

    if file.is_file():
        walk(yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader), ())
    return lines
