"""`./strandline test`: lint, unit tests, the patterndb rules, the scenarios, and the account of them all."""
