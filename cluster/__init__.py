"""Where steps run: start or join Ray. Knows neither `pipeline` nor `tasks`."""
