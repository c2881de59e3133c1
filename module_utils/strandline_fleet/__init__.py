"""What the operator's side computes: inventory, rollouts, canaries, report. The plugins and the command share it."""
