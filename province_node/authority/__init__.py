"""The province's offline authority: signs the province file, and hands over to a new authority."""
