"""What conducts: the story of a request, told over ports only."""
