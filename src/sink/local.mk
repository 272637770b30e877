# sink
