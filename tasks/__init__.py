"""How each step works: verbs are files, nouns are folders. Knows neither `pipeline` nor `cluster`."""
