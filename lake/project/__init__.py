"""Read the settings of a project and open its lake."""
