def photo_grid(pictures, titles, *, columns, title):
    from matplotlib.figure import Figure
    f=Figure(); f.add_subplot(); return f
