"""The record of an incident and what is made from it: ``incident.sh --help`` says how it is used."""
