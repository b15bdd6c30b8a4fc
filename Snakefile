"""omicsai: from FASTA files and uncertain labels to a report.

snakemake --cores 2                 everything
snakemake --cores 2 -- embed        one stage, all batches
snakemake -n                        what would be done, and why
"""

from snakemake.utils import min_version

min_version("9.19")


configfile: f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/common.smk"


pathvars:
    results=settings.results,
    logs=f"{settings.results}/logs",
    benchmarks=f"{settings.results}/benchmarks",


report: "workflow/report/workflow.rst"


include: "workflow/rules/check.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/annotate.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/trna.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        "<results>/report.html",
