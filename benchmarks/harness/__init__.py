"""What every benchmark needs: processes, readings, figures and their report."""
