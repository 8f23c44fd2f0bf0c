"""What a layer is: the class, its call by names, the flow of masks, parameters, state, names and configs."""
