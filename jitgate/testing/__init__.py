"""What plugin authors use to test theirs."""
