"""Actor and critic modules; every actor can be exported."""
