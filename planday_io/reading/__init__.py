"""Reading one endpoint completely: pages that fit together, fan-outs, rows typed as they arrive."""
