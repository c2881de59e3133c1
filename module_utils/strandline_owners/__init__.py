"""What else on a host governs its firewall, its sshd, its accounts or its addresses. Runs on the host.

known.py has the table of what is known to do so, evidence.py reads what programs and files say, look.py asks them.
Standard library only; imports are relative, as the module strandline_owners takes the package along.
"""
