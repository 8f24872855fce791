"""Flights, the figures drawn from them, and the report that shows them."""
