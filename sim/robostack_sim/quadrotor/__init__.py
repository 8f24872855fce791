"""Quadrotor with direct rotor-speed control."""
