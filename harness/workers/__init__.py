"""Where jobs run: in this process, on local Dask workers, or on a cluster."""
