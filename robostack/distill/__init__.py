"""From a teacher to a student: imitation, an expert's critic, and compression to a budget."""
