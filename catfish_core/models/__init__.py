"""Networks: the course's two, the zoo, their pretrained weights, and models saved to be used."""
