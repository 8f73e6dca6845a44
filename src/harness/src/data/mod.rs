//! Datasets: manifests, ingestion, splits, phantoms.
