"""The published site: what a page says, beside what its records prove."""
