"""Small lattices that several tests use."""

from __future__ import annotations

from robostack_sim.beam.lattice import Beam, Bpm, Corrector, Element, Lattice, Quadrupole, Solenoid

IONS = Beam(mass_ev=37.259e9, charge=12.0, kinetic_ev=54.24e6)


def mixed_line() -> Lattice:
    """Everything but a gap."""
    elements = (
        Element(name="d1", length_m=0.2, aperture_m=0.03),
        Quadrupole(name="q1", length_m=0.15, gradient_t_m=2.0),
        Corrector(name="c1", length_m=0.1, steering_t_m_a=6e-4, current_max_a=10.0),
        Element(name="d2", length_m=0.3),
        Bpm(name="b1"),
        Solenoid(name="s1", length_m=0.35, field_t=2.5, planes=("h", "v"), steering_t_m_a=6e-4, current_max_a=10.0),
        Quadrupole(name="q2", length_m=0.15, gradient_t_m=-2.5),
        Element(name="d3", length_m=0.4, aperture_m=0.02),
        Bpm(name="b2"),
    )
    return Lattice("mixed", IONS, elements)
