"""How the pictures of Sketchbook are drawn: a pen with an unsteady hand, cats, fish, and places to put them."""
