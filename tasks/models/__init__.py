"""The fused model: encoders → tokens → fusion → trunk → heads. Plain torch; `config` alone imports without it."""
