"""Further right answers to the exercises: ``NAME__how``, a file a lesson."""
