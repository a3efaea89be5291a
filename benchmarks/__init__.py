"""Measures lippycatd beside its peers, in one run, on one machine; results are dated files in results/."""
